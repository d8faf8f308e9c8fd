-- Whom else something says a case is of, beside the one whom its images name (center.patients.OtherIdentity): shown and
-- printed beside him until the clinic has put it right. Run as helan_owner.
alter table worklist."case" add column others jsonb not null default '[]';
