"""Clients, origins and name servers that mean harm, each while an ordinary client goes on."""
