"""What stands between a connection and Streamlit: who may ask, how much may be sent, how long it may take."""
