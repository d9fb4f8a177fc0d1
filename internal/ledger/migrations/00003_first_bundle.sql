-- +goose Up
ALTER TABLE run ADD COLUMN first_bundle TEXT NOT NULL DEFAULT '';
UPDATE run SET first_bundle = bundle;

-- +goose Down
SELECT 1;
