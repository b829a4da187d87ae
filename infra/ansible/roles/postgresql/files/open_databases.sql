-- Those of the given databases to which everybody may still connect, in one row.
SELECT ARRAY(
  SELECT DISTINCT datname
    FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl
   WHERE acl.grantee = 0 AND datname = ANY (string_to_array(%(names)s, ','))
   ORDER BY datname) AS open
