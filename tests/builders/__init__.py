"""What tests are made of: files, cohorts, studies, models, clusters and servers, sound or spoilt.

`tests/strategies.py` generates valid inputs for properties.
"""
