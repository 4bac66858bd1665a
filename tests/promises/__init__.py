"""The 25 promises of an engine that steps in, each with a test of its name: test_row_NN_….

What a promise means in every corner is tested where its code is tested; here stands that it holds, with real parts.
"""
