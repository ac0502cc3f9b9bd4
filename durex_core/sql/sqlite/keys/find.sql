-- A key, if anybody took it, whether or not its time is over.
SELECT scope, key FROM keys WHERE scope = :scope AND key = :key
