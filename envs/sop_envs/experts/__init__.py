"""Scripted experts: privileged, reactive, without memory."""
