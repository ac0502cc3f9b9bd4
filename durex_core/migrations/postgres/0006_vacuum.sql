-- When autovacuum comes, and how.

-- The hot table is small, and each command leaves several dead rows in it, at the head of the index that claims read:
-- so it is cleaned by the number of those, not by their share beside all that waits, and without pauses. Rows that came
-- in are no reason: they are about to be changed.
ALTER TABLE durex.commands SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);

-- Partitions of finished commands are only added to, and dropped whole: to read through what was added is for nothing.
-- Those made from now on are made so.
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT relid FROM pg_partition_tree('durex.finished_commands') WHERE isleaf LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_vacuum_insert_threshold = -1)', partition);
    END LOOP;
END
$$;
