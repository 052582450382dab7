-- Two of the specification's indexes do more of what is asked of them, each in the place of two.

-- A result's steps by their numbers: the index is the constraint that a number occurs once, too.
ALTER TABLE test_step_results DROP CONSTRAINT test_step_results_step_number_key;
DROP INDEX idx_step_results_number;
ALTER TABLE test_step_results ADD CONSTRAINT idx_step_results_number UNIQUE (test_run_result_id, step_number);

-- A case's executions, newest first, as its history lists them: a page of it costs the page, however long the history.
DROP INDEX idx_exec_history_test_case;
CREATE INDEX idx_exec_history_test_case ON test_execution_history (test_case_id, executed_at DESC, id DESC);
