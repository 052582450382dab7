-- Which zone data the next due time was computed with, such as 2025b; empty if nobody noted it. Schedulers with newer data
-- compute it anew, those with older data leave it alone. Versions sort as bytes do: 2025b, 2025c, 2026a.
ALTER TABLE schedules ADD COLUMN zone_data_version VARCHAR(20) COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX idx_schedules_zone_data ON schedules (zone_data_version) WHERE status = 'active';
