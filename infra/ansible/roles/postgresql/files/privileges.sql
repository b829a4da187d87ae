-- Grants to the role itself: what it has by way of PUBLIC does not count, since that is taken away.
WITH grants AS (
  SELECT 'database' AS object, acl.grantee, acl.privilege_type
    FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl
   WHERE datname = current_database()
  UNION ALL
  SELECT 'schema', acl.grantee, acl.privilege_type
    FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) AS acl
   WHERE nspname = 'public'
  UNION ALL
  SELECT CASE defaclobjtype WHEN 'r' THEN 'new tables' WHEN 'S' THEN 'new sequences' END,
         acl.grantee, acl.privilege_type
    FROM pg_default_acl, aclexplode(defaclacl) AS acl
   WHERE defaclrole = 'postgres'::regrole AND defaclnamespace = 'public'::regnamespace
)
SELECT
  EXISTS (SELECT FROM grants WHERE grantee = 0 AND object = 'database') AS public_connects,
  ARRAY(
    SELECT DISTINCT object
      FROM (VALUES ('database', 'CONNECT'), ('database', 'TEMPORARY'),
                   ('schema', 'CREATE'), ('schema', 'USAGE'),
                   ('new tables', 'DELETE'), ('new tables', 'INSERT'),
                   ('new tables', 'SELECT'), ('new tables', 'UPDATE'),
                   ('new sequences', 'SELECT'), ('new sequences', 'USAGE')) AS wanted (object, privilege_type)
     WHERE NOT EXISTS (
             SELECT FROM grants
              WHERE grants.object = wanted.object AND grants.privilege_type = wanted.privilege_type
                AND grantee = (SELECT oid FROM pg_roles WHERE rolname = %(role)s))
  ) AS missing
