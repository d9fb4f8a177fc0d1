-- +goose Up
ALTER TABLE task ADD COLUMN retry_if TEXT NOT NULL DEFAULT '';

-- +goose Down
SELECT 1;
