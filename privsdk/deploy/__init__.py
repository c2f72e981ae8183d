"""Opening, serving and operating: embedded and connected federations, party.toml, servers, the owner's commands."""
