"""What a user sees: tables, documents and progress. The only room that writes ms or mJ."""
