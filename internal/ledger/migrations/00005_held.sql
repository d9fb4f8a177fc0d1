-- +goose Up
UPDATE slot SET state = 'held' WHERE state = 'blocked';

-- +goose Down
SELECT 1;
