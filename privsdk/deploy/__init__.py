"""Opening, serving and operating: embedded and connected federations, a party as a server, its owner's commands."""
