"""Where a party's tables come from: files by their kind. What opens one is `party.tables.open_source`."""
