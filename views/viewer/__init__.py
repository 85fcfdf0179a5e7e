"""The slice viewer in the browser, and its simple form in Streamlit's widgets."""
