-- The newest migration that was applied.
SELECT max(version) AS version FROM migrations
