-- Drops keys past their time, a bounded number at once.
DELETE FROM durex.keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM durex.keys
    WHERE expires_at BETWEEN '-infinity' AND :now
    ORDER BY expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
))
RETURNING key
