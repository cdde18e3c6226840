//! The words of the table of jobs. `at_ms` is: of a waiting one since when it could be taken, of a delayed one when it can be, of an active one when
//! its lease ends, of one that has ended when it did. `takings` counts how often it was taken, and tells one taking from the next.

/// How many jobs there are of each state is kept beside them, since counting them anew for every order would take ever longer as they pile up. Numbers
/// are never given twice, or somebody who asks after a forgotten job would be told of another.
pub(in crate::store) const TABLES: &str = "
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, at_ms INTEGER NOT NULL,
        product_id INTEGER NOT NULL, quantity INTEGER NOT NULL, created_at_ms INTEGER NOT NULL,
        takings INTEGER NOT NULL DEFAULT 0, attempts_made INTEGER NOT NULL DEFAULT 0, order_id INTEGER, reason TEXT);
    CREATE INDEX jobs_state_at ON jobs (state, at_ms, id);
    CREATE TABLE job_counts (state TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO job_counts VALUES ('waiting', 0), ('delayed', 0), ('active', 0), ('completed', 0), ('failed', 0);
    CREATE TRIGGER jobs_added AFTER INSERT ON jobs BEGIN
        UPDATE job_counts SET n = n + 1 WHERE state = NEW.state; END;
    CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs BEGIN
        UPDATE job_counts SET n = n - 1 WHERE state = OLD.state;
        UPDATE job_counts SET n = n + 1 WHERE state = NEW.state; END;
    CREATE TRIGGER jobs_removed AFTER DELETE ON jobs BEGIN
        UPDATE job_counts SET n = n - 1 WHERE state = OLD.state; END;";

pub(super) const ADD: &str = "
    INSERT INTO jobs (state, at_ms, product_id, quantity, created_at_ms) SELECT 'waiting', ?1, ?2, ?3, ?4
    WHERE (SELECT sum(n) FROM job_counts WHERE state IN ('waiting', 'delayed', 'active')) < ?5 RETURNING id";
pub(super) const FIRST_WAITING: &str = "
    SELECT id, takings, product_id, quantity, created_at_ms, at_ms FROM jobs WHERE state = 'waiting'
    ORDER BY at_ms, id LIMIT 1";
pub(super) const TAKE: &str = "
    UPDATE jobs SET state = 'active', at_ms = ?3, takings = ?2 WHERE id = ?1 AND state = 'waiting' AND takings = ?2 - 1";
pub(super) const RENEW: &str =
    "UPDATE jobs SET at_ms = ?3 WHERE id = ?1 AND state = 'active' AND takings = ?2";
pub(super) const COMPLETE: &str = "
    UPDATE jobs SET state = 'completed', at_ms = ?3, attempts_made = attempts_made + 1, order_id = ?4, reason = NULL
    WHERE id = ?1 AND state = 'active' AND takings = ?2";
pub(super) const ATTEMPTS_MADE: &str =
    "SELECT attempts_made FROM jobs WHERE id = ?1 AND state = 'active' AND takings = ?2";
/// Whose order is there has not failed; and of one that has, none is written any more (see `ADD_ORDER`).
pub(super) const FAIL: &str = "
    UPDATE jobs SET state = 'failed', at_ms = ?3, attempts_made = attempts_made + 1, reason = ?4
    WHERE id = ?1 AND state = 'active' AND takings = ?2
        AND NOT EXISTS (SELECT 1 FROM orders WHERE doc ->> '$.job_id' = ?1)";
pub(super) const ORDER_ID: &str = "SELECT id FROM orders WHERE doc ->> '$.job_id' = ?1";
pub(super) const PUT_OFF: &str = "
    UPDATE jobs SET state = 'delayed', at_ms = ?3, reason = ?4 WHERE id = ?1 AND state = 'active' AND takings = ?2";
pub(super) const DELAY: &str = "
    UPDATE jobs SET state = 'delayed', at_ms = ?3, attempts_made = attempts_made + 1, reason = ?4
    WHERE id = ?1 AND state = 'active' AND takings = ?2";
pub(super) const GIVE_BACK: &str =
    "UPDATE jobs SET state = 'waiting', at_ms = ?3 WHERE id = ?1 AND state = 'active' AND takings = ?2";
pub(super) const ANY_DUE: &str = "
    SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'delayed' AND at_ms <= ?1)
        OR EXISTS (SELECT 1 FROM jobs WHERE state = 'active' AND at_ms <= ?1)";
pub(super) const PROMOTE: &str = "UPDATE jobs SET state = 'waiting' WHERE state = 'delayed' AND at_ms <= ?1";
pub(super) const PUT_BACK_STALLED: &str =
    "UPDATE jobs SET state = 'waiting' WHERE state = 'active' AND at_ms <= ?1";
pub(super) const WAITING: &str = "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'waiting' LIMIT ?1)";
pub(super) const STATUS: &str = "SELECT state, attempts_made, order_id, reason FROM jobs WHERE id = ?1";
pub(super) const COUNT: &str = "SELECT n FROM job_counts WHERE state = ?1";
pub(super) const TRIM: &str = "
    DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE state = ?1 ORDER BY at_ms, id
    LIMIT max(0, (SELECT n FROM job_counts WHERE state = ?1) - ?2))";
