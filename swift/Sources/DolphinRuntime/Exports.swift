@_exported import DolphinTokenizer
