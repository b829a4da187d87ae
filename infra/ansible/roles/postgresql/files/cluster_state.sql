SELECT
  -- a file that is younger than the last load
  (SELECT bool_or((pg_stat_file(file)).modification > pg_conf_load_time())
     FROM unnest(string_to_array(%(files)s, ',')) AS file) AS unread,
  EXISTS (SELECT FROM pg_settings WHERE pending_restart) AS pending_restart,
  ARRAY(SELECT name FROM pg_file_settings
         WHERE sourcefile LIKE '%%/postgresql.auto.conf' AND name = ANY (string_to_array(%(settings)s, ','))
         ORDER BY name) AS overruled,
  -- what a reload would refuse; a setting that waits for a restart also has an error in pg_file_settings
  ARRAY(SELECT concat_ws(':', f.sourcefile, f.sourceline, ' ' || f.error)
          FROM pg_file_settings AS f LEFT JOIN pg_settings AS s USING (name)
         WHERE f.error IS NOT NULL AND s.context IS DISTINCT FROM 'postmaster'
         UNION ALL
        SELECT concat_ws(':', 'pg_hba.conf', line_number, ' ' || error)
          FROM pg_hba_file_rules WHERE error IS NOT NULL) AS errors
