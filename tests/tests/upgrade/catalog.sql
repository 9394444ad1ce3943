-- All that the catalogs say of the extension's members, a line each, so that two installations can be held against each other.
WITH extension AS (
    SELECT oid, extversion, extnamespace, extconfig, extcondition FROM pg_extension WHERE extname = 'pg_sentiment'
), member AS (
    SELECT classid, objid, o.type || ' ' || o.identity AS name
    FROM pg_depend, extension, LATERAL pg_identify_object(classid, objid, 0) AS o
    WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = extension.oid
), relation AS (
    SELECT name, c.* FROM member JOIN pg_class AS c ON classid = 'pg_class'::regclass AND objid = c.oid
), line AS (
    SELECT name || ': member' AS line FROM member
    UNION ALL
    SELECT name || ': comment ' || coalesce(obj_description(objid, classid::regclass::name), '-') FROM member
    UNION ALL
    SELECT 'extension: ' || extversion || ' in ' || extnamespace::regnamespace::text || ', '
           || obj_description(oid, 'pg_extension') FROM extension
    UNION ALL
    SELECT 'dumped: ' || table_oid::regclass::text || ' where ' || quote_nullable(condition)
    FROM extension, unnest(extconfig, extcondition) AS t (table_oid, condition)
    UNION ALL
    SELECT name || ': rights at first ' || coalesce(i.objsubid::text, '') || ' ' || privilege::text
    FROM member JOIN pg_init_privs AS i ON i.objoid = objid AND i.classoid = classid, unnest(initprivs) AS privilege
    UNION ALL
    SELECT name || ': owner ' || nspowner::regrole::text || ' ' || coalesce(privilege::text, '-')
    FROM member JOIN pg_namespace AS n ON classid = 'pg_namespace'::regclass AND objid = n.oid
         LEFT JOIN LATERAL unnest(nspacl) AS privilege ON true
    UNION ALL
    SELECT name || ': owner ' || proowner::regrole::text || ' ' || coalesce(privilege::text, '-')
    FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND objid = p.oid
         LEFT JOIN LATERAL unnest(proacl) AS privilege ON true
    UNION ALL
    SELECT name || ': ' || pg_get_functiondef(objid) FROM member WHERE classid = 'pg_proc'::regclass
    UNION ALL
    SELECT name || ': kind ' || relkind::text || relpersistence::text || ' owner ' || relowner::regrole::text || ' options '
           || coalesce(reloptions::text, '-') || ' security ' || relrowsecurity || ' ' || coalesce(privilege::text, '-')
    FROM relation LEFT JOIN LATERAL unnest(relacl) AS privilege ON true
    UNION ALL
    SELECT name || ': ' || pg_get_viewdef(oid) FROM relation WHERE relkind = 'v'
    UNION ALL
    SELECT name || ': column ' || row_number() OVER (PARTITION BY attrelid ORDER BY attnum) || ' ' || attname || ' '
           || format_type(atttypid, atttypmod) || ' ' || attnotnull || ' ' || attstorage::text || ' ' || attidentity::text || attgenerated::text
           || ' ' || coalesce(pg_get_expr(adbin, adrelid), '-') || ' collation ' || coalesce(collname, '-')
           || ' ' || coalesce(attacl::text, '-') || ' ' || coalesce(col_description(attrelid, attnum), '-')
    FROM relation JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
         LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         LEFT JOIN pg_collation AS l ON l.oid = attcollation
    UNION ALL
    SELECT name || ': constraint ' || conname || ' ' || pg_get_constraintdef(k.oid) || ' ' || coalesce(obj_description(k.oid, 'pg_constraint'), '-')
    FROM relation JOIN pg_constraint AS k ON conrelid = relation.oid
    UNION ALL
    SELECT name || ': index ' || pg_get_indexdef(indexrelid) || ' ' || coalesce(obj_description(indexrelid, 'pg_class'), '-')
    FROM relation JOIN pg_index ON indrelid = relation.oid
    UNION ALL
    SELECT name || ': sequence ' || format_type(seqtypid, NULL) || ' ' || seqstart || ' ' || seqincrement || ' ' || seqmax
    FROM relation JOIN pg_sequence ON seqrelid = relation.oid
    UNION ALL
    SELECT name || ': trigger ' || pg_get_triggerdef(t.oid) || ' ' || tgenabled::text FROM relation JOIN pg_trigger AS t ON tgrelid = relation.oid
    UNION ALL
    SELECT name || ': policy ' || polname || ' ' || coalesce(pg_get_expr(polqual, polrelid), '-')
    FROM relation JOIN pg_policy ON polrelid = relation.oid
)
SELECT line FROM line ORDER BY line COLLATE "C"
