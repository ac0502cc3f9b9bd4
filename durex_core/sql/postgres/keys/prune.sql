-- Drops keys past their time, a bounded number at once.
DELETE FROM durex.keys
WHERE (scope, key) IN (
    SELECT scope, key FROM durex.keys WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING key
