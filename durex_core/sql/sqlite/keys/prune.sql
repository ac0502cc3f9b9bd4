-- Drops keys past their time, a bounded number at once.
DELETE FROM keys
WHERE (scope, key) IN (SELECT scope, key FROM keys WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)
RETURNING key
