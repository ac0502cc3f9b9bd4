-- A key, if anybody took it, whether or not its time is over.
SELECT scope, key FROM durex.keys WHERE scope = :scope AND key = :key
