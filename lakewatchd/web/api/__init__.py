"""The API by HTTP, a file for each noun: JSON in, JSON out."""
