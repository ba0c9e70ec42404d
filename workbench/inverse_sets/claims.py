"""stub"""
import pandas as pd
def table_1(results): return pd.DataFrame()
def claims(results): return pd.DataFrame()
