-- What the commit relies on.
SELECT
    current_setting('server_version_num')::integer AS "version!",
    current_setting('synchronous_commit') AS "synchronous_commit!",
    current_setting('fsync') AS "fsync!",
    current_setting('full_page_writes') AS "full_page_writes!"
