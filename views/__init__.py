"""Streamlit code that pages share: how a page starts, cached loaders, the patient finder, the slice viewer."""
