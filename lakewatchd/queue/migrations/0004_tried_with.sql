-- A parked job remembers what could not do it: other code or settings are a reason to try again.
ALTER TABLE job ADD COLUMN tried_with TEXT;

-- With the reason in it, parked jobs are counted by reason without reading the jobs themselves.
DROP INDEX job_parked;
CREATE INDEX job_parked ON job (parked_at, stage, priority, reason) WHERE state = 3;
