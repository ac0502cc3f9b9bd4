-- What each handler gives the commands of its name, as its application last said.
CREATE TABLE handlers (
    name         TEXT NOT NULL PRIMARY KEY,
    template     TEXT NOT NULL CHECK (json_valid(template)),
    published_at INTEGER NOT NULL
);
