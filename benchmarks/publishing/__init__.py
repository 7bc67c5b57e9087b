"""Results for others: tables for programs, a folder with a file for each machine, and a page of them."""
