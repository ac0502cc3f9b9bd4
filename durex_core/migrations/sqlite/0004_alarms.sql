-- The alarms that are set, one for each ten minutes in which something is due.
CREATE TABLE alarms (
    bucket_at INTEGER PRIMARY KEY
) WITHOUT ROWID;
