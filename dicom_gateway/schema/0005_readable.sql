-- What is nothing to read (reports of devices, marks, plans: dicom_gateway/sop_classes.py) opens no case and is no late
-- image: a series says whether anything in it is read. Series from before have opened their case. Run as helan_owner.
alter table gateway.series add column readable boolean not null default true;
