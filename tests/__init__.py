"""The suite: test_<module>.py for each module of service/; senses.py and process.py are what they share."""
