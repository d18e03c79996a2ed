; SPDX-License-Identifier: BSD-2-Clause
; The installer of the network serial port. makensis -DSOURCE=dist/windows ...
Unicode true
!include LogicLib.nsh
Name "kdwire network serial port"
OutFile "${SOURCE}\htsvsp-setup.exe"
InstallDir "$PROGRAMFILES64\kdwire"
RequestExecutionLevel admin
ShowInstDetails show
SetCompressor /SOLID lzma

Page components
Page directory
Page instfiles
UninstPage uninstConfirm
UninstPage instfiles

Section "Driver and vspControl"
  SectionIn RO
  SetOutPath $INSTDIR
  File "${SOURCE}\htsvsp.dll"
  File "${SOURCE}\htsvsp.inf"
  File "${SOURCE}\htsvsp.cat"
  File "${SOURCE}\htsvsp.cer"
  File "${SOURCE}\vspControl.exe"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  SetRegView 64
  WriteRegStr HKLM "Software\Microsoft\Windows\CurrentVersion\Uninstall\kdwire-htsvsp" "DisplayName" "kdwire network serial port"
  WriteRegStr HKLM "Software\Microsoft\Windows\CurrentVersion\Uninstall\kdwire-htsvsp" "UninstallString" '"$INSTDIR\uninstall.exe"'
SectionEnd

; Not ticked: trusting a certificate is the user's decision.
Section /o "Trust the certificate that signed the driver" Trust
  nsExec::ExecToLog '"$INSTDIR\vspControl.exe" install --yes --certificate "$INSTDIR\htsvsp.cer"'
  Pop $0
  ${If} $0 != 0
    DetailPrint "The driver package could not be installed; the lines above say why."
    SetErrorLevel 1
    Abort
  ${EndIf}
SectionEnd

Section "-Install the package"
  SectionGetFlags ${Trust} $1
  IntOp $1 $1 & 1
  ${If} $1 == 0
    nsExec::ExecToLog '"$INSTDIR\vspControl.exe" install'
    Pop $0
    ${If} $0 != 0
      DetailPrint "Windows did not take the driver package; the lines above say why. Later: vspControl install"
    ${EndIf}
  ${EndIf}
  DetailPrint 'Now make a port: vspControl add --connect HOST:PORT'
SectionEnd

Section "Uninstall"
  nsExec::ExecToLog '"$INSTDIR\vspControl.exe" uninstall'
  Pop $0
  Delete "$INSTDIR\htsvsp.dll"
  Delete "$INSTDIR\htsvsp.inf"
  Delete "$INSTDIR\htsvsp.cat"
  Delete "$INSTDIR\htsvsp.cer"
  Delete "$INSTDIR\vspControl.exe"
  Delete "$INSTDIR\uninstall.exe"
  RMDir $INSTDIR
  SetRegView 64
  DeleteRegKey HKLM "Software\Microsoft\Windows\CurrentVersion\Uninstall\kdwire-htsvsp"
SectionEnd
