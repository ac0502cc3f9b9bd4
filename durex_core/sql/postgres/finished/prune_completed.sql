-- Drops "completed" commands past their time from the DEFAULT partition, a bounded number at once. Other partitions are
-- dropped whole.
DELETE FROM durex.finished_completed_default
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM durex.finished_completed_default
    WHERE finished_at <= :now - make_interval(secs => :keep_seconds)
    ORDER BY finished_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
))
RETURNING id
