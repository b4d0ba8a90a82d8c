"""Tests of signing in and authorising."""
