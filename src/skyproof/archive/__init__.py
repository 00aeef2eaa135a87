"""What we keep, and what was known when. Every read says as of which instant; nothing here knows a stage or a clock."""
