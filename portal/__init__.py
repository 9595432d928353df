"""What members and their mail programs reach by HTTP."""
