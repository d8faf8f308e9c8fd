-- Whether a sealed file in somebody's hand is still the report in force: found by the digest of what it says.
create index report_content on worklist.report_version (content_sha256);
