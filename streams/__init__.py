"""The live path: behaviour events in, predictions, decisions and interventions out. Start reading at app.py."""
