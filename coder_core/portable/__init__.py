"""Classifiers that travel: a folder of JSON and safetensors, and an application that loads it without a store."""
