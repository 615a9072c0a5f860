-- Version 0 in PostgreSQL's words, translated word by word: its text sorts as the database does.
CREATE TABLE executions (
  execution_id TEXT PRIMARY KEY,
  plan_id TEXT NOT NULL, changeset_id TEXT NOT NULL, decision_id TEXT NOT NULL,
  checksum TEXT NOT NULL, verdict TEXT NOT NULL, status TEXT NOT NULL,
  risk_level TEXT, affected_paths TEXT,
  started_at TEXT NOT NULL, ended_at TEXT, duration_seconds DOUBLE PRECISION,
  files_changed INTEGER DEFAULT 0, verification_passed INTEGER DEFAULT 0,
  health_checks_passed INTEGER DEFAULT 0, rolled_back INTEGER DEFAULT 0,
  artifact_path TEXT, error_message TEXT, error_step TEXT,
  created_at TEXT NOT NULL DEFAULT to_char(timezone('UTC', now()), 'YYYY-MM-DD HH24:MI:SS')
);
CREATE INDEX idx_executions_status ON executions(status);
CREATE INDEX idx_executions_started_at ON executions(started_at DESC);
CREATE INDEX idx_executions_plan_id ON executions(plan_id);
CREATE INDEX idx_executions_verdict ON executions(verdict);
CREATE INDEX idx_executions_risk_level ON executions(risk_level);
CREATE TABLE execution_steps (
  id SERIAL PRIMARY KEY,
  execution_id TEXT NOT NULL, step_num INTEGER NOT NULL, step_name TEXT NOT NULL,
  status TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, duration_seconds DOUBLE PRECISION,
  error_code TEXT, error_message TEXT, log_ref TEXT, metadata TEXT,
  FOREIGN KEY (execution_id) REFERENCES executions(execution_id) ON DELETE CASCADE
);
CREATE INDEX idx_execution_steps_execution_id ON execution_steps(execution_id);
CREATE INDEX idx_execution_steps_step_name ON execution_steps(step_name);
CREATE INDEX idx_execution_steps_status ON execution_steps(status);
-- An own table and an own view of a user.
CREATE TABLE notes (
  author TEXT DEFAULT 'me', about TEXT NOT NULL REFERENCES executions(execution_id), note BYTEA, stars REAL
);
CREATE VIEW noted AS SELECT n.author, e.error_message FROM notes n JOIN executions e ON e.artifact_path = n.author;
