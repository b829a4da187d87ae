"""The queries that show a PostgreSQL catalogue (12 or later). Each row is a JSON array: what it is, its name, values,
values to show as digests only, identity.

An identity has the row's ``xmin``: the transaction that wrote it. Statistics and freezing leave that alone, and a
``GRANT`` that is run again does not. Comments, security labels, large objects, collations, casts, operators and text
search are not shown.
"""

# ruff: noqa: S608 - put together from what is written here alone
from __future__ import annotations

# Settings whose value may be a secret. A name with a dot belongs to an extension or an application.
SENSITIVE = r"'\.|conninfo|command|passw|passphrase|secret|token'"
# The oids below are those that every cluster is born with.
FIRST_NORMAL_OID = 16384


def _select(*queries: str) -> str:
    return f"""
        SELECT json_build_array(kind, name, shown, digested, identity)
        FROM ({" UNION ALL ".join(queries)}) AS found(kind, name, shown, digested, identity)
    """


def _acl(column: str) -> str:
    """In one order: a right that is revoked and granted again comes last."""
    return f"""(SELECT string_agg(a::text, ' ' ORDER BY a::text COLLATE "C") FROM unnest({column}) a)"""


def _owner(column: str) -> str:
    return f"'owner', pg_get_userbyid({column}), 'acl'"


def _ours(catalogue: str, row: str, acl: str) -> str:
    """Made by somebody, or with other rights than it came with. What an extension brings, its version tells."""
    return f"""(
        {row}.oid >= {FIRST_NORMAL_OID} AND NOT EXISTS (
            SELECT FROM pg_depend
            WHERE classid = '{catalogue}'::regclass AND objid = {row}.oid AND objsubid = 0 AND deptype = 'e')
        OR {acl} IS NOT NULL AND {acl} IS DISTINCT FROM (
            SELECT initprivs FROM pg_init_privs
            WHERE classoid = '{catalogue}'::regclass AND objoid = {row}.oid AND objsubid = 0))"""


# Asked before anything is set in the session, so its names are qualified. The line in the file is left out: a comment
# above it is no other setting.
SETTINGS = f"""
    SELECT pg_catalog.json_build_array('setting', name,
        pg_catalog.json_build_object(
            'source', coalesce(sourcefile, source), 'pending restart', nullif(pending_restart, false),
            'value', CASE WHEN name !~ {SENSITIVE} THEN pg_catalog.current_setting(name) END),
        pg_catalog.json_build_object(
            'value', CASE WHEN name ~ {SENSITIVE} THEN pg_catalog.current_setting(name) END),
        '')
    FROM pg_catalog.pg_settings
    WHERE source NOT IN ('default', 'client', 'session', 'override', 'interactive') OR pending_restart
"""

_LOADED = """
    SELECT 'configuration', NULL::text, '{}'::jsonb, '{}'::jsonb, extract(epoch FROM pg_conf_load_time())::text
"""

# The order of the rules counts: each tells which one it follows, so that a new one moves only its neighbour.
_HBA = f"""
    SELECT 'hba rule', rule || CASE WHEN again > 1 THEN ' #' || again ELSE '' END,
        jsonb_build_object('method', auth_method, 'after', previous, 'error', error,
            'options', CASE WHEN options !~ {SENSITIVE} THEN options END),
        jsonb_build_object('options', CASE WHEN options ~ {SENSITIVE} THEN options END), ''
    FROM (
        SELECT *, lag(rule) OVER (ORDER BY position) AS previous,
            row_number() OVER (PARTITION BY rule ORDER BY position) AS again
        FROM (
            SELECT auth_method, error, options::text AS options,
                row_number() OVER (ORDER BY to_jsonb(r) -> 'rule_number', line_number) AS position,
                coalesce(type || concat_ws(' ', '', array_to_string(database, ','), array_to_string(user_name, ','),
                    address, netmask), 'in line ' || line_number) AS rule
            FROM pg_hba_file_rules r) AS numbered) AS named
"""

_ROLES = """
    SELECT 'role', rolname::text,
        jsonb_build_object('connections', nullif(rolconnlimit, -1),
            'valid until', rolvaliduntil AT TIME ZONE 'UTC',
            'attributes', concat_ws(' ',
                CASE WHEN rolcanlogin THEN 'login' END, CASE WHEN rolsuper THEN 'superuser' END,
                CASE WHEN rolinherit THEN 'inherit' END, CASE WHEN rolcreaterole THEN 'createrole' END,
                CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolreplication THEN 'replication' END,
                CASE WHEN rolbypassrls THEN 'bypassrls' END)),
        jsonb_build_object('password', rolpassword), concat_ws('/', oid, xmin)
    FROM pg_authid WHERE rolname !~ '^pg_'
"""

_MEMBERSHIPS = """
    SELECT 'membership',
        format('%s in %s by %s', pg_get_userbyid(member), pg_get_userbyid(roleid), pg_get_userbyid(grantor)),
        jsonb_build_object('admin', admin_option, 'inherit', to_jsonb(m) -> 'inherit_option',
            'set', to_jsonb(m) -> 'set_option'),
        '{}', xmin::text
    FROM pg_auth_members m WHERE pg_get_userbyid(member) !~ '^pg_'
"""

_OVERRIDES = f"""
    SELECT 'setting', concat_ws(' ', 'of role ' || nullif(pg_get_userbyid(nullif(setrole, 0)), ''),
            'in database ' || (SELECT datname FROM pg_database WHERE oid = setdatabase)),
        (SELECT jsonb_object_agg(split_part(c, '=', 1), substr(c, strpos(c, '=') + 1))
            FILTER (WHERE split_part(c, '=', 1) !~ {SENSITIVE}) FROM unnest(setconfig) c),
        (SELECT jsonb_object_agg(split_part(c, '=', 1), substr(c, strpos(c, '=') + 1))
            FILTER (WHERE split_part(c, '=', 1) ~ {SENSITIVE}) FROM unnest(setconfig) c),
        xmin::text
    FROM pg_db_role_setting
"""

_DATABASES = f"""
    SELECT 'database', datname::text,
        jsonb_build_object({_owner("datdba")}, {_acl("datacl")}, 'encoding', pg_encoding_to_char(encoding),
            'collation', datcollate, 'character type', datctype, 'connections', nullif(datconnlimit, -1),
            'template', datistemplate, 'open', datallowconn AND datconnlimit <> -2,
            'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = dattablespace)),
        '{{}}', concat_ws('/', oid, xmin)
    FROM pg_database
"""

_TABLESPACES = f"""
    SELECT 'tablespace', spcname::text,
        jsonb_build_object({_owner("spcowner")}, {_acl("spcacl")}, 'location', pg_tablespace_location(oid),
            'options', spcoptions::text),
        '{{}}', concat_ws('/', oid, xmin)
    FROM pg_tablespace
"""

# A worker moves the position that it is to skip to.
_SUBSCRIPTIONS = """
    SELECT 'subscription', subname::text,
        jsonb_build_object('owner', pg_get_userbyid(subowner), 'enabled', subenabled),
        jsonb_build_object('definition',
            to_jsonb(s) - '{oid,subdbid,subowner,subname,subenabled,subskiplsn}'::text[]), oid::text
    FROM pg_subscription s
"""

_PARAMETERS = f"""
    SELECT 'parameter', parname, jsonb_build_object('acl', {_acl("paracl")}), '{{}}', concat_ws('/', oid, xmin)
    FROM pg_parameter_acl
"""


def cluster(major: int) -> str:
    """What all databases of a cluster share."""
    shared = [_LOADED, _HBA, _ROLES, _MEMBERSHIPS, _OVERRIDES, _DATABASES, _TABLESPACES, _SUBSCRIPTIONS]
    return _select(*shared, *([_PARAMETERS] if major >= 15 else []))


# Temporary tables and the parts of large values are nobody's doing.
_ELSEWHERE = "nspname !~ '^(pg_temp|pg_toast|information_schema$)'"

_SCHEMAS = f"""
    SELECT 'schema', nspname::text, jsonb_build_object({_owner("nspowner")}, {_acl("nspacl")}), '{{}}'::jsonb,
        concat_ws('/', oid, xmin)
    FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
"""

_EXTENSIONS = """
    SELECT 'extension', extname, jsonb_build_object('version', extversion, 'schema', extnamespace::regnamespace,
            'owner', pg_get_userbyid(extowner)),
        '{}', concat_ws('/', oid, xmin)
    FROM pg_extension
"""

_COLUMNS = """
    (SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
        (SELECT collname FROM pg_collation WHERE oid = attcollation), pg_get_expr(adbin, adrelid)), E'\\n'
        ORDER BY attnum)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
"""

_PARTS = """
    (SELECT string_agg(conname || ' ' || pg_get_constraintdef(oid), E'\\n' ORDER BY conname)
        FROM pg_constraint WHERE conrelid = c.oid),
    (SELECT string_agg(tgenabled::text || ' ' || pg_get_triggerdef(oid), E'\\n' ORDER BY tgname)
        FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal),
    (SELECT string_agg(concat_ws(' ', polname, polcmd, polpermissive,
            (SELECT string_agg(pg_get_userbyid(r), ',' ORDER BY r) FROM unnest(polroles) r),
            pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), E'\\n' ORDER BY polname)
        FROM pg_policy WHERE polrelid = c.oid),
    (SELECT string_agg(ev_enabled::text || ' ' || pg_get_ruledef(oid), E'\\n' ORDER BY rulename)
        FROM pg_rewrite WHERE ev_class = c.oid),
    (SELECT to_jsonb(s) - 'seqrelid' FROM pg_sequence s WHERE seqrelid = c.oid),
    (SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = c.oid),
    CASE WHEN relkind = 'p' THEN pg_get_partkeydef(c.oid) END
"""

# An application that empties a table, or a REFRESH, writes the row too, and gives the table another file: where that
# has happened its transaction is no sign of anything. What inherits is left out: partitions come and go with the data.
_RELATIONS = f"""
    SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
            WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type' ELSE 'table' END,
        nspname || '.' || relname,
        jsonb_build_object({_owner("relowner")}, {_acl("relacl")}, 'column acl',
            (SELECT string_agg(attname || ' ' || {_acl("attacl")}, ', ' ORDER BY attname)
            FROM pg_attribute WHERE attrelid = c.oid AND attacl IS NOT NULL)),
        jsonb_build_object('definition', concat_ws(E'\\n', relpersistence, relreplident, relrowsecurity,
            relforcerowsecurity, reloptions, {_COLUMNS}, {_PARTS})),
        concat_ws('/', c.oid, CASE WHEN relkind <> 'm' AND relfilenode IN (0, c.oid) THEN c.xmin END,
            (SELECT string_agg(xmin::text, ' ' ORDER BY attnum)
            FROM pg_attribute WHERE attrelid = c.oid AND attacl IS NOT NULL))
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND {_ELSEWHERE}
        AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid) AND {_ours("pg_class", "c", "relacl")}
"""

_INDEXES = f"""
    SELECT 'index', nspname || '.' || i.relname, jsonb_build_object('valid', indisvalid),
        jsonb_build_object('definition', pg_get_indexdef(indexrelid)), indexrelid::text
    FROM pg_index JOIN pg_class i ON i.oid = indexrelid JOIN pg_class c ON c.oid = indrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_ELSEWHERE} AND c.oid >= {FIRST_NORMAL_OID}
        AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid) AND {_ours("pg_class", "c", "NULL")}
"""

_FUNCTIONS = f"""
    SELECT 'function', p.oid::regprocedure::text,
        jsonb_build_object({_owner("proowner")}, {_acl("proacl")}),
        jsonb_build_object('definition', CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE
            (SELECT concat_ws(' ', aggkind, aggtransfn, aggfinalfn, format_type(aggtranstype, NULL), agginitval)
            FROM pg_aggregate WHERE aggfnoid = p.oid) END),
        concat_ws('/', p.oid, p.xmin)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE {_ELSEWHERE} AND {_ours("pg_proc", "p", "proacl")}
"""

# A table's row type is told with the table, and an array with what it is of.
_TYPES = f"""
    SELECT 'type', nspname || '.' || typname, jsonb_build_object({_owner("typowner")}, {_acl("typacl")}),
        jsonb_build_object('definition', concat_ws(E'\\n', typtype, typnotnull, typdefault,
            CASE WHEN typtype = 'd' THEN format_type(typbasetype, typtypmod) END,
            (SELECT string_agg(enumlabel, E'\\n' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
            (SELECT string_agg(conname || ' ' || pg_get_constraintdef(oid), E'\\n' ORDER BY conname)
                FROM pg_constraint WHERE contypid = t.oid))),
        concat_ws('/', t.oid, t.xmin)
    FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
    WHERE {_ELSEWHERE} AND typcategory <> 'A' AND (typtype <> 'c' OR typacl IS NOT NULL)
        AND {_ours("pg_type", "t", "typacl")}
"""

_DEFAULTS = f"""
    SELECT 'default privileges', concat_ws(' ', 'of', pg_get_userbyid(defaclrole), 'on',
            CASE defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE defaclobjtype::text END,
            'in ' || (SELECT nspname FROM pg_namespace WHERE oid = defaclnamespace)),
        jsonb_build_object('acl', {_acl("defaclacl")}), '{{}}', concat_ws('/', oid, xmin)
    FROM pg_default_acl
"""

_LANGUAGES = f"""
    SELECT 'language', lanname, jsonb_build_object({_owner("lanowner")}, {_acl("lanacl")}), '{{}}',
        concat_ws('/', oid, xmin)
    FROM pg_language l WHERE {_ours("pg_language", "l", "lanacl")}
"""

_PUBLICATIONS = """
    SELECT 'publication', pubname, jsonb_build_object('owner', pg_get_userbyid(pubowner), 'tables',
            (SELECT string_agg(prrelid::regclass::text, ' ' ORDER BY prrelid::regclass::text)
            FROM pg_publication_rel WHERE prpubid = p.oid)),
        jsonb_build_object('definition', to_jsonb(p) - '{oid,pubname,pubowner}'::text[]),
        concat_ws('/', oid, xmin)
    FROM pg_publication p
"""

_FOREIGN = f"""
    SELECT 'foreign data wrapper', fdwname, jsonb_build_object({_owner("fdwowner")}, {_acl("fdwacl")}),
        jsonb_build_object('options', fdwoptions), concat_ws('/', oid, xmin)
    FROM pg_foreign_data_wrapper f WHERE {_ours("pg_foreign_data_wrapper", "f", "fdwacl")}
    UNION ALL
    SELECT 'foreign server', srvname, jsonb_build_object({_owner("srvowner")}, {_acl("srvacl")},
            'type', srvtype, 'version', srvversion),
        jsonb_build_object('options', srvoptions), concat_ws('/', oid, xmin)
    FROM pg_foreign_server
    UNION ALL
    SELECT 'user mapping', format('of %s to %s', CASE WHEN umuser = 0 THEN 'public' ELSE pg_get_userbyid(umuser) END,
            (SELECT srvname FROM pg_foreign_server WHERE oid = umserver)),
        '{{}}', jsonb_build_object('options', umoptions), concat_ws('/', oid, xmin)
    FROM pg_user_mapping
"""

_EVENT_TRIGGERS = """
    SELECT 'event trigger', evtname, jsonb_build_object('owner', pg_get_userbyid(evtowner), 'event', evtevent,
            'function', evtfoid::regprocedure, 'enabled', evtenabled, 'tags', evttags::text),
        '{}', concat_ws('/', oid, xmin)
    FROM pg_event_trigger
"""

# What one database has for itself.
DATABASE = _select(
    *(_SCHEMAS, _EXTENSIONS, _RELATIONS, _INDEXES, _FUNCTIONS, _TYPES),
    *(_DEFAULTS, _LANGUAGES, _PUBLICATIONS, _FOREIGN, _EVENT_TRIGGERS),
)
