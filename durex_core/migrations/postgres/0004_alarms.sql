-- The alarms that are set, one for each ten minutes in which something is due.
CREATE TABLE durex.alarms (
    bucket_at timestamptz PRIMARY KEY
);
