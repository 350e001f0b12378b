"""Devices that people drive with, one a file."""
