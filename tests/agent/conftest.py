"""Nothing but the import path: modules beside the tests are found from here."""
