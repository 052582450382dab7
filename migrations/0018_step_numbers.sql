-- The specification's index of a result's steps by their numbers becomes the constraint that a number occurs once, so that
-- each step is written into one index less.

ALTER TABLE test_step_results DROP CONSTRAINT test_step_results_step_number_key;
DROP INDEX idx_step_results_number;
ALTER TABLE test_step_results ADD CONSTRAINT idx_step_results_number UNIQUE (test_run_result_id, step_number);
